SELECT noted_at FROM attention WHERE one = 1
