"""Words every part uses: errors, ids, time, canonical JSON, settings, who is acting. Standard library only, plus id and JSON codecs."""
