"""Sixteen real mining places of the tropics around which the demo strews its invented mines.

Coordinates, countries and commodities are facts.
"""

from __future__ import annotations

from dataclasses import dataclass

from segmentation.geo.grid import Grid

GRID = Grid()


@dataclass(frozen=True)
class District:
    """A real mining place.

    Attributes:
        name: its name, usable in a file name.
        iso3: country code, ISO 3166-1 alpha-3.
        country: country name.
        lon: longitude in degrees.
        lat: latitude in degrees.
        commodity: what is mined there.
        border: where one mine straddles the border of the district's quad ("east", "north", "corner"), if any.
    """

    name: str
    iso3: str
    country: str
    lon: float
    lat: float
    commodity: str
    border: str = ""


DISTRICTS = (
    District("carajas", "BRA", "Brazil", -50.17, -6.06, "iron"),
    District("tapajos", "BRA", "Brazil", -56.85, -6.82, "placer gold", "east"),
    District("huepetuhe", "PER", "Peru", -70.53, -12.99, "placer gold"),
    District("cerrejon", "COL", "Colombia", -72.60, 11.10, "coal", "north"),
    District("linden", "GUY", "Guyana", -58.28, 5.99, "bauxite"),
    District("tarkwa", "GHA", "Ghana", -2.00, 5.30, "gold", "corner"),
    District("sangaredi", "GIN", "Guinea", -13.77, 11.10, "bauxite"),
    District("kolwezi", "COD", "Democratic Republic of the Congo", 25.45, -10.72, "copper", "east"),
    District("chingola", "ZMB", "Zambia", 27.85, -12.53, "copper"),
    District("geita", "TZA", "Tanzania", 32.17, -2.87, "gold"),
    District("moatize", "MOZ", "Mozambique", 33.75, -16.15, "coal", "north"),
    District("jharia", "IND", "India", 86.42, 23.75, "coal"),
    District("hpakant", "MMR", "Myanmar", 96.31, 25.61, "jade"),
    District("bangka", "IDN", "Indonesia", 106.11, -2.30, "placer tin", "corner"),
    District("sangatta", "IDN", "Indonesia", 117.50, 0.55, "coal"),
    District("sorowako", "IDN", "Indonesia", 121.37, -2.55, "nickel", "east"),
)

# A mine all alone three quads from its district, in a quad that the stand-in lists without a download link.
LONE_DISTRICT = "linden"
LONE_OFFSET_QUADS = 3


def district_quad(district: District) -> tuple[int, int]:
    """The x and y of the quad that holds a district's name-giving place."""
    x, y = GRID.quad_at(district.lon, district.lat)
    return int(x), int(y)


def lone_quad() -> tuple[int, int]:
    """The x and y of the quad of the mine that no download reaches."""
    x, y = district_quad(next(d for d in DISTRICTS if d.name == LONE_DISTRICT))
    return x + LONE_OFFSET_QUADS, y
