"""How fast LTP is beside models of the same size."""
