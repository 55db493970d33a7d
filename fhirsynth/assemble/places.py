"""Where synthetic people live: the capital of each state or region, its postal code and the range of its telephones.

Capitals are real and so large and so public that they tell of nobody. Postal codes are those of the capitals. Telephone
numbers are out of the ranges that are kept free for fiction: 555-0100 to 555-0199 of each area code in the US (North
American Numbering Plan), those of the Bundesnetzagentur for productions of the media in Germany, and those of the Arcep
for audiovisual works in France; ``#`` stands for a digit.
"""

from __future__ import annotations

from functools import cache
from typing import Final, NamedTuple

_US: Final = """
AL Montgomery 36104 334; AK Juneau 99801 907; AZ Phoenix 85001 602; AR Little Rock 72201 501; CA Sacramento 95814 916
CO Denver 80202 303; CT Hartford 06103 860; DC Washington 20001 202; DE Dover 19901 302; FL Tallahassee 32301 850
GA Atlanta 30303 404; HI Honolulu 96813 808; ID Boise 83702 208; IL Springfield 62701 217; IN Indianapolis 46204 317
IA Des Moines 50309 515; KS Topeka 66603 785; KY Frankfort 40601 502; LA Baton Rouge 70802 225; ME Augusta 04330 207
MD Annapolis 21401 410; MA Boston 02108 617; MI Lansing 48933 517; MN Saint Paul 55102 651; MS Jackson 39201 601
MO Jefferson City 65101 573; MT Helena 59601 406; NE Lincoln 68508 402; NV Carson City 89701 775; NH Concord 03301 603
NJ Trenton 08608 609; NM Santa Fe 87501 505; NY Albany 12207 518; NC Raleigh 27601 919; ND Bismarck 58501 701
OH Columbus 43215 614; OK Oklahoma City 73102 405; OR Salem 97301 503; PA Harrisburg 17101 717; RI Providence 02903 401
SC Columbia 29201 803; SD Pierre 57501 605; TN Nashville 37219 615; TX Austin 78701 512; UT Salt Lake City 84111 801
VT Montpelier 05602 802; VA Richmond 23219 804; WA Olympia 98501 360; WV Charleston 25301 304; WI Madison 53703 608
WY Cheyenne 82001 307
"""
_DE: Final = """
BB Potsdam 14467; BE Berlin 10117; BW Stuttgart 70173; BY München 80331; HB Bremen 28195; HE Wiesbaden 65183
HH Hamburg 20095; MV Schwerin 19053; NI Hannover 30159; NW Düsseldorf 40213; RP Mainz 55116; SH Kiel 24103
SL Saarbrücken 66111; SN Dresden 01067; ST Magdeburg 39104; TH Erfurt 99084
"""
_FR: Final = """
ARA Lyon 69001 4; BFC Dijon 21000 3; BRE Rennes 35000 2; CVL Orléans 45000 2; GES Strasbourg 67000 3; HDF Lille 59000 3
IDF Paris 75001 1; NAQ Bordeaux 33000 5; NOR Rouen 76000 2; OCC Toulouse 31000 5; PAC Marseille 13001 4
PDL Nantes 44000 2
"""
_DE_PHONES: Final = {"BY": "+49 89 99998###", "HE": "+49 69 90009###", "HH": "+49 40 66969###", "NW": "+49 221 4710###"}
_FR_PHONES: Final = {"1": "1 99 00", "2": "2 61 91", "3": "3 53 01", "4": "4 65 71", "5": "5 36 49"}


class Place(NamedTuple):
    """A city with its state or region (as ISO 3166-2 has it, without the country), and a pattern of telephones."""

    state: str
    city: str
    postal_code: str
    phone: str


@cache
def places(country: str) -> dict[str, Place]:
    """The places of ``US``, ``DE`` or ``FR``, by state or region."""
    listed = {"US": _US, "DE": _DE, "FR": _FR}[country].replace("\n", ";").split(";")
    words = (one.split() for one in listed if one.strip())
    if country == "DE":
        found = [Place(w[0], w[1], w[2], _DE_PHONES.get(w[0], "+49 30 23125###")) for w in words]
    elif country == "FR":
        found = [Place(w[0], w[1], w[2], f"+33 {_FR_PHONES[w[3]]} ## ##") for w in words]
    else:
        found = [Place(w[0], " ".join(w[1:-2]), w[-2], f"{w[-1]}-555-01##") for w in words]
    return {place.state: place for place in found}
