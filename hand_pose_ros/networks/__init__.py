"""The papers' networks in torch. Only training, export and the torch engine may import this room."""
