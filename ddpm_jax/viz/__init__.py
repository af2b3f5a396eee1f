"""uint8 arrays and numbers to pictures, plots and pages."""
