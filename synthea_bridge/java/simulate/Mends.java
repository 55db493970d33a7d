import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import org.fhir.ucum.UcumEssenceService;
import org.fhir.ucum.UcumException;
import org.hl7.fhir.r4.model.Bundle;
import org.hl7.fhir.r4.model.CodeableConcept;
import org.hl7.fhir.r4.model.Coding;
import org.hl7.fhir.r4.model.Observation;
import org.hl7.fhir.r4.model.Quantity;
import org.hl7.fhir.r4.model.Resource;
import org.hl7.fhir.r4.model.SampledData;
import org.hl7.fhir.r4.model.Type;

/** Corrects what a server or a validator would refuse, and counts it. */
final class Mends {
  private static final String UCUM = "http://unitsofmeasure.org";
  private static final String ORIGIN = "urn:fhirsynth:tag/origin"; // as in tags.py
  private static final String ABSENT = "http://terminology.hl7.org/CodeSystem/data-absent-reason";

  // What Synthea writes and what it means, the value unchanged: as they are they read picohenry and kelvin per microlitre.
  private static final Map<String, String> MEANT = Map.of("pH", "[pH]", "K/uL", "10*3/uL");

  private static final ConcurrentHashMap<String, String> USABLE = new ConcurrentHashMap<>();
  private static UcumEssenceService engine = null;

  private int units = 0;
  private int absent = 0;

  String counts() {
    return " units=" + units + " absent=" + absent;
  }

  void mend(Bundle bundle) {
    for (Bundle.BundleEntryComponent entry : bundle.getEntry()) {
      tag(entry.getResource());
      if (entry.getResource() instanceof Observation observation) {
        mend(observation);
      }
    }
  }

  /** Says of a resource that it is simulated, so that it can be told from others wherever it gets to. */
  static void tag(Resource resource) {
    if (resource.getMeta().getTag(ORIGIN, "simulated") == null) {
      resource.getMeta().addTag(new Coding(ORIGIN, "simulated", null));
    }
  }

  private void mend(Observation observation) {
    unit(observation.getValue());
    boolean told = observation.hasValue() || observation.hasComponent() || observation.hasHasMember();
    if (!told && !observation.hasDataAbsentReason()) {
      observation.setDataAbsentReason(unknown());
    }
    for (Observation.ObservationComponentComponent component : observation.getComponent()) {
      unit(component.getValue());
      if (!component.hasValue() && !component.hasDataAbsentReason()) {
        component.setDataAbsentReason(unknown());
      }
    }
  }

  private CodeableConcept unknown() {
    absent++;
    return new CodeableConcept(new Coding(ABSENT, "unknown", "Unknown"));
  }

  private void unit(Type value) {
    if (value instanceof SampledData samples) {
      value = samples.getOrigin();
    }
    if (!(value instanceof Quantity quantity) || !UCUM.equals(quantity.getSystem())) {
      return;
    }
    String given = quantity.getCode();
    String usable = given == null || given.isEmpty() ? "" : USABLE.computeIfAbsent(given, Mends::usable);
    if (usable.equals(given)) {
      return;
    }
    units++;
    quantity.setSystem(usable.isEmpty() ? null : UCUM);
    quantity.setCode(usable.isEmpty() ? null : usable); // the text of the unit stays as it is
  }

  /** The UCUM code that is meant; an annotation where there is none, and nothing where there cannot be one. */
  private static String usable(String code) {
    String meant = MEANT.getOrDefault(code, code);
    if (valid(meant)) {
      return meant;
    }
    String annotation = "{" + code.replace(' ', '_') + "}";
    return annotation.matches("\\{[!-z|~]+}") && valid(annotation) ? annotation : "";
  }

  private static synchronized boolean valid(String code) {
    try {
      engine = engine != null ? engine : new UcumEssenceService(Mends.class.getResourceAsStream("/ucum-essence.xml"));
      return engine.validate(code) == null;
    } catch (UcumException error) {
      throw new IllegalStateException(error);
    }
  }
}
