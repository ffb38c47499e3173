"""`python main.py` with thin networks (see thin_networks.py), for tests of how programs end."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from pytest import MonkeyPatch
from thin_networks import THIN, set_widths

from maskflownet.main import main

set_widths(MonkeyPatch(), THIN)

if __name__ == "__main__":
    sys.exit(main())
