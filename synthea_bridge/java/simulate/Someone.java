import java.math.BigDecimal;
import java.math.RoundingMode;
import java.time.Period;
import java.util.EnumMap;
import java.util.HashSet;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.mitre.synthea.engine.State;
import org.mitre.synthea.helpers.ValueGenerator;
import org.mitre.synthea.world.agents.Person;
import org.mitre.synthea.world.concepts.VitalSign;

/** A person who remembers what Synthea asks for again and again within a week; the answers are the same. */
final class Someone extends Person {
  private static final long serialVersionUID = 1L;
  private static final double[] POWERS = {1, 10, 100};

  private Period age = null;
  private long asked; // when age is of
  private int symptoms = -1; // their total, -1 where it is not known

  /** Names of the states in a history, which grows at its front only. */
  private static final class Past {
    private final Set<String> names = new HashSet<>();
    private int seen = 0;

    boolean has(String name, List<State> history) {
      for (State state : history) {
        if (seen == history.size()) {
          break;
        }
        names.add(state.name);
        seen++;
      }
      return names.contains(name);
    }
  }

  private final transient Map<List<State>, Past> pasts = new IdentityHashMap<>();

  Someone(long seed) {
    super(seed);
    vitalSigns = new EnumMap<>(VitalSign.class);
  }

  @Override
  public Period age(long time) {
    if (age == null || asked != time) {
      age = super.age(time);
      asked = time;
    }
    return age;
  }

  @Override
  public void setSymptom(String module, String cause, String type, long time, int value, Boolean addressed) {
    symptoms = -1;
    super.setSymptom(module, cause, type, time, value, addressed);
  }

  @Override
  public void addressLargestSymptom() {
    symptoms = -1;
    super.addressLargestSymptom();
  }

  @Override
  public int symptomTotal() {
    if (symptoms < 0) {
      symptoms = super.symptomTotal();
    }
    return symptoms;
  }

  @Override
  public boolean hadPriorState(String name) {
    return history != null && pasts.computeIfAbsent(history, list -> new Past()).has(name, history);
  }

  @Override
  public Double getVitalSign(VitalSign sign, long time) {
    ValueGenerator generator = vitalSigns.get(sign);
    return generator == null ? super.getVitalSign(sign, time) : rounded(generator.getValue(time), decimals(sign));
  }

  private static int decimals(VitalSign sign) {
    return switch (sign) {
      case DIASTOLIC_BLOOD_PRESSURE, SYSTOLIC_BLOOD_PRESSURE, HEART_RATE, RESPIRATION_RATE -> 0;
      case HEIGHT, WEIGHT -> 1;
      default -> 2;
    };
  }

  /** Half up, as the decimal number that is written; by way of that only where the half itself is near. */
  static double rounded(double value, int decimals) {
    double scaled = value * POWERS[decimals];
    double whole = Math.rint(scaled);
    if (Math.abs(scaled) < 1e9 && Math.abs(scaled - whole) < 0.499999) {
      return (long) whole / POWERS[decimals];
    }
    if (Double.isNaN(value) || Double.isInfinite(value)) {
      return value;
    }
    return BigDecimal.valueOf(value).setScale(decimals, RoundingMode.HALF_UP).doubleValue();
  }
}
