"""The model behind vetiver, which gives labels only."""

import sys

import numpy as np
import pandas as pd
from model import classifier
from vetiver import VetiverAPI, VetiverModel

table = pd.DataFrame(np.zeros((1, 64)), columns=[f"p{i}" for i in range(64)])
VetiverAPI(VetiverModel(classifier(), "digits", prototype_data=table), check_prototype=True).run(
    port=int(sys.argv[1]), host="127.0.0.1"
)
