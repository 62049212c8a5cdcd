"""Why a past prediction came out as it did, by the version that made it."""
