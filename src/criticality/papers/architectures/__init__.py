"""Other networks under the protocol of `dropout`, each as a user's own file would have it.

criticality run STUDY.toml --store DIR --system criticality.papers.architectures.cnn:CNN
"""
