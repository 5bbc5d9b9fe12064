"""The commands of `finegrid`, by what they do; everything heavy is imported inside them."""
