"""torchvision's and timm's files and names."""
