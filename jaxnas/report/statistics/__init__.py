"""What results over seeds show: spread, paired tests, ranks, components of variance."""
