"""What a pod's volumes hold and where they are. `contents.py` decides, `writer.py` and `places.py` act."""
