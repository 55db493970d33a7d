import java.util.TreeMap;
import org.mitre.synthea.world.agents.Person;
import org.mitre.synthea.world.concepts.HealthRecord;

/**
 * Who has what: "AGE SEX RACE CODE:ONSET:ACTIVE …" with ages in years, each SNOMED CT code of a condition once, the age at its
 * first onset, and 1 where it is still there.
 */
final class Survey {
  private static final double YEAR = 365.25 * 24 * 3600 * 1000;

  private Survey() {}

  static String line(Person person, long stop) {
    long born = (long) person.attributes.get(Person.BIRTHDATE);
    TreeMap<String, double[]> found = new TreeMap<>(); // age at onset, active
    for (HealthRecord.Encounter encounter : person.record.encounters) {
      for (HealthRecord.Entry condition : encounter.conditions) {
        boolean active = condition.stop == 0L || condition.stop > stop;
        double onset = (condition.start - born) / YEAR;
        for (HealthRecord.Code code : condition.codes) {
          double[] known = found.computeIfAbsent(code.code, unknown -> new double[] {onset, 0});
          known[0] = Math.min(known[0], onset);
          known[1] = Math.max(known[1], active ? 1 : 0);
        }
      }
    }
    StringBuilder line = new StringBuilder();
    line.append(person.ageInYears(stop)).append(' ').append(person.attributes.get(Person.GENDER));
    line.append(' ').append(person.attributes.get(Person.RACE));
    found.forEach((code, one) -> line.append(String.format(" %s:%.1f:%.0f", code, one[0], one[1])));
    return line.toString();
  }
}
