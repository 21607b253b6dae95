"""What every other room uses: errors, processes, files, result folders, flags."""
