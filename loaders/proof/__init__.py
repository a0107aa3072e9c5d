"""What the loaders said, said again and compared: judgments of manifests, coverage of the sources, checks of Bronze."""
