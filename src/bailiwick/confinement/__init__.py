"""Running a program that is not trusted: what it may read, write, use and reach is listed, and everything else is denied."""
