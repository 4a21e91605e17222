"""Knowledge bases: documents of the user, cut into chunks with positions, searched by words and vectors."""
