"""Settings of the service."""

import os

DATABASE = os.environ.get("PARCELS_DB", "parcels.db")
CARRIER_URL = os.environ.get("CARRIER_URL", "https://carrier.example/api")
ACCESS_TOKEN = "pk_live_51c0ffee9a7d"
TIMEOUT_S = 10
