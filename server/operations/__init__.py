"""What the person on call needs: health, figures, retention, doctor. Knows every capability, changes none."""
