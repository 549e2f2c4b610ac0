NAMES = {}
def draw_all(results, d): pass
