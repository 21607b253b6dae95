"""Makes "ltp" known to the Auto classes, from one table (`ltp_names`) that the plug-in and the overlay read."""
