"""What all of ltp_pipeline uses: errors, processes, files, result folders, flags and the model hub."""
