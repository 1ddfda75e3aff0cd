"""La historia de las redes convolucionales, de LeNet-5 a SENet, ejecutable."""

__version__ = "0.1.0"
