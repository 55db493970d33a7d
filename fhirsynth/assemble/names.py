"""Given and family names, the common ones of a language; what tells that they are synthetic is added to them."""

from __future__ import annotations

from typing import Final, NamedTuple


class Names(NamedTuple):
    """Names of a language; ``either`` are given to people who are neither female nor male."""

    female: tuple[str, ...]
    male: tuple[str, ...]
    either: tuple[str, ...]
    family: tuple[str, ...]


def _names(female: str, male: str, either: str, family: str) -> Names:
    return Names(*(tuple(words.split()) for words in (female, male, either, family)))


NAMES: Final = {
    "en": _names(
        "Ada Alice Amber Beatrix Bella Clara Daisy Doris Edith Eleanor Flora Grace Hazel Heidi Iris Ivy Judith "
        "June Laura Lily Mabel Martha Nora Olive Pearl Rose Ruth Sylvia Thelma Violet",
        "Albert Arthur Barney Bruno Casper Clyde Dexter Dorian Edgar Ernest Felix Floyd George Gilbert Harold "
        "Hugo Irving Jasper Kenneth Leonard Milton Norman Oscar Percy Ralph Rupert Stanley Theodore Victor Walter",
        "Alex Billie Casey Charlie Dana Eden Finley Glenn Harper Indigo Jessie Jordan Kim Lee Morgan Quinn Riley "
        "Robin Sage Taylor",
        "Alder Ashgrove Barley Birchwood Bramble Brook Cedarly Clover Copperfield Fernsby Fieldston Hawthorn "
        "Heathcote Holloway Juniper Larkspur Lindenhall Marshwood Meadowcroft Millbrook Nettleship Oakhurst "
        "Orchard Pebbleton Quarry Ridgeley Rowanberry Sedgewick Sorrel Stonebridge Thistlewood Underhill Wheatley "
        "Willowby Yarrow",
    ),
    "es": _names(
        "Adela Alba Alma Amparo Beatriz Carmen Celia Clara Dolores Elena Esperanza Estela Flora Gloria Inés Irene "
        "Julia Leonor Lucía Luz Marisol Mercedes Nieves Olivia Paloma Pilar Rocío Rosa Soledad Teresa",
        "Adrián Alonso Andrés Arturo Benito Bruno César Damián Diego Emilio Esteban Fermín Gonzalo Hugo Ignacio "
        "Jaime Joaquín Julián Leandro Marcos Mateo Óscar Pablo Ramón Raúl Rubén Simón Tomás Vicente Xavier",
        "Alex Ángel Ariel Cruz Dani Gael Guadalupe Jesse Noa Reyes Rosario Sol Trinidad Val Yael",
        "Abedul Alameda Almendro Arroyo Avellano Campoverde Castaño Cerezo Encinar Espino Fresno Fuentes "
        "Jaramillo Laguna Laurel Lomas Manzano Montaña Morera Naranjo Nogal Olivares Olmedo Palmar Peñalba Pinar "
        "Prado Quintana Ribera Robledo Romero Sauceda Tejo Valverde Zarzal",
    ),
    "de": _names(
        "Adelheid Anke Astrid Birgit Brigitte Clara Dorothea Edith Elke Frieda Gerda Greta Gudrun Hedwig Heike "
        "Hilde Ilse Ingrid Jutta Käthe Lieselotte Margarete Monika Paula Renate Sabine Sigrid Trude Ursula Wiebke",
        "Albrecht Anton August Bernd Bruno Detlef Dieter Emil Ernst Friedrich Georg Gustav Hans Heinrich Holger "
        "Jochen Jürgen Karl Konrad Ludwig Lutz Manfred Otto Rainer Rolf Rüdiger Siegfried Uwe Volker Wolfgang",
        "Alex Chris Eike Folke Gerrit Heilke Janne Kai Kim Luca Maxi Mika Robin Sascha Toni",
        "Ahorn Apfelbaum Birkenfeld Brombach Buchenau Distelkamp Dornbusch Eichenlaub Erlenbach Eschweiler "
        "Feldmoos Fichtner Ginster Hagedorn Haselbach Heidekraut Holunder Kastanie Kiefernagel Klee Lindenblatt "
        "Mühlbach Nussbaum Pappelheim Quellmalz Rosengarten Schilfrohr Steinbruch Tannhäuser Ulmenstein Veilchen "
        "Wacholder Weidenbusch Wiesengrund Ziegelhof",
    ),
    "fr": _names(
        "Adèle Agathe Alice Anaïs Blanche Camélia Cécile Clémence Colette Delphine Édith Élise Estelle Flore "
        "Geneviève Hélène Inès Jeanne Joséphine Léonie Louise Lucie Madeleine Margot Odette Pauline Rosalie "
        "Simone Solange Zoé",
        "Alphonse Antoine Armand Auguste Basile Benoît Célestin Clément Didier Édouard Émile Étienne Fernand "
        "François Gaspard Gustave Henri Honoré Jacques Jules Léon Lucien Marcel Maxime Octave Philippe Raoul "
        "Sylvain Théodore Valentin",
        "Alix Andrea Camille Charlie Claude Dominique Éden Lou Maé Morgan Noa Sacha Sasha Stéphane Yaël",
        "Amandier Aubépine Bellerive Boisjoli Bruyère Cerisier Champdor Châtaignier Clairval Coquelicot Dubosquet "
        "Duchêne Fontanelle Fougère Genêt Grandpré Hêtraie Jonquille Lacombe Lavande Lilas Marronnier Mirabelle "
        "Montclair Noisetier Ormeau Peuplier Pommeraie Prunier Ruisseau Sapinière Sureau Tilleul Valfleuri Verger",
    ),
}
"""By the language of the locale."""
