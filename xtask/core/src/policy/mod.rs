//! Facts in, verdict out. Pure: no clock, no input or output, no name of a tool or a stage.
