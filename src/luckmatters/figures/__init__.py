"""From tables to figures: shared style, and one module a layout. Nothing here trains or measures."""
