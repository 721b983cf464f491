"""A toolbox for models of networks; nothing here knows a physical system.

Shape letters, used in every docstring of this room:

    R  realizations             N  training samples       T  test samples
    B  samples in a mini-batch  V  validation samples     D  pixels of an image
    W  units in a hidden layer  K  classes                L  hidden layers
    E  evaluation rates         P  passes per rate        C  channels of the first convolution
"""
