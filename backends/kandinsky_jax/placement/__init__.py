"""Where weights and pictures lie: one device, a mesh of devices, and their memory."""
