import sys
from pathlib import Path

HERE = str(Path(__file__).parent)
if HERE not in sys.path:  # workers inherit the path and import the sample steps by name
    sys.path.insert(0, HERE)
