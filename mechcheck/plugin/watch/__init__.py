"""`mechcheck watch`: claims run again as soon as something that they are made of is saved, in a process that has everything loaded."""
