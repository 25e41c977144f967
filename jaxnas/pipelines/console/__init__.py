"""What stands between a terminal and a command: signs, signals, devices, complaints."""
