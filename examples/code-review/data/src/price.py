"""What a parcel costs."""

ZONES = {"home": 4.9, "near": 8.5, "far": 14.0}


def price(weight_kg, zone):
    """Euros for a parcel, rounded to cents."""
    if weight_kg <= 0:
        raise ValueError(f"a parcel weighs more than 0 kg, not {weight_kg}")
    steps = max(0, int((weight_kg - 1) // 5))
    return round(ZONES[zone] + 1.6 * steps, 2)
