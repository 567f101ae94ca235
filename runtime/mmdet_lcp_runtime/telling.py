"""Lines on the screen that end no work: who has seen enough (`| head`) closes the pipe."""

import os
import sys


def tell(text: object) -> None:
    """Print at once; where nobody reads any more, this and all that follows is dropped."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        # what is still in the buffer has to go somewhere when Python ends
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
