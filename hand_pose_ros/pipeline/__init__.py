"""From frames to scenes: find the hands, crop, run the network, lift to metres, track and smooth."""
