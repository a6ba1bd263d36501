// Starts a page of a single figure, once it is read.
wireFigures(document);
addSaveButtons(document);
