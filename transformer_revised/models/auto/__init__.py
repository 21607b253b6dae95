"""How the Auto classes come to know "ltp": one table (`ltp_names`), read by the plug-in and by the overlay."""
