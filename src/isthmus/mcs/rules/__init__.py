"""What should be true of exports, imports and their endpoints: values in, values out."""
