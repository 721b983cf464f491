"""Systems that findings are about and that are not installed, each as a user would write it.

criticality run STUDY.toml --store DIR --system criticality.papers.systems.cnn:CNN
"""
