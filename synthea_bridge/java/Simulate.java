import java.io.BufferedOutputStream;
import java.io.File;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.Comparator;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.ConcurrentHashMap;
import java.util.stream.Stream;
import org.fhir.ucum.UcumEssenceService;
import org.fhir.ucum.UcumException;
import org.hl7.fhir.r4.formats.JsonParser;
import org.hl7.fhir.r4.model.Bundle;
import org.hl7.fhir.r4.model.CodeableConcept;
import org.hl7.fhir.r4.model.Coding;
import org.hl7.fhir.r4.model.Location;
import org.hl7.fhir.r4.model.Observation;
import org.hl7.fhir.r4.model.Quantity;
import org.hl7.fhir.r4.model.Resource;
import org.hl7.fhir.r4.model.SampledData;
import org.hl7.fhir.r4.model.Type;
import org.mitre.synthea.engine.Generator;
import org.mitre.synthea.export.Exporter;
import org.mitre.synthea.export.FhirR4;
import org.mitre.synthea.helpers.Config;
import org.mitre.synthea.helpers.DefaultRandomNumberGenerator;
import org.mitre.synthea.world.agents.Clinician;
import org.mitre.synthea.world.agents.Person;
import org.mitre.synthea.world.agents.Provider;
import org.mitre.synthea.world.concepts.HealthRecord;

/**
 * Simulates people and streams the living ones to standard output as frames, in the order of their index:
 * "case INDEX BYTES units=N absent=N", "control INDEX BYTES units=N absent=N" (each followed by that many bytes of a FHIR
 * Bundle, and with the number of its units and absent values that were mended) or "dead INDEX 0", "surplus INDEX 0"; at the
 * end "end INDEX 0", or "exhausted INDEX 0". Before "end" stands "shared INDEX BYTES" with a Bundle of the organisations,
 * locations and practitioners that the Bundles refer to, unless as_is=1 is given, which also leaves the Bundles as Synthea
 * makes them. Person INDEX depends on seed, stream and INDEX only. Ends when standard input ends, so that it never outlives
 * its parent.
 */
public final class Simulate {
  private record Outcome(String kind, byte[] bundle, String counts, Set<String> references) {
    Outcome(String kind) {
      this(kind, new byte[0], "", Set.of());
    }
  }

  private record Frame(String kind, int index, byte[] bundle, String counts) {
    Frame(String kind, int index) {
      this(kind, index, new byte[0], "");
    }
  }

  private static final int LEAD = 64; // indexes that may be finished ahead of the oldest unfinished one
  private static final int WAITING = 32; // frames that may wait for the reader before the simulation does

  private final Map<String, String> options;
  private final Generator generator;
  private final OutputStream out;
  private final TreeMap<Integer, Outcome> finished = new TreeMap<>();
  private final BlockingQueue<Frame> frames = new ArrayBlockingQueue<>(WAITING);
  private final int population;
  private final int cases;
  private final int attempts;
  private final long seed;
  private final long stream;
  private final int years;
  private final String code;
  private final boolean asIs;
  private final Set<String> referred = new TreeSet<>(); // conditional references in the Bundles that were kept
  private int next = 0; // the index that is simulated next
  private int frontier = 0; // the index that is written next
  private int controlsKept = 0;
  private int casesKept = 0;
  private Throwable failure = null;

  private Simulate(Map<String, String> options, Generator generator, OutputStream out) {
    this.options = options;
    this.generator = generator;
    this.out = out;
    population = number("population");
    cases = number("cases");
    attempts = number("attempts");
    years = number("years");
    seed = Long.parseLong(options.get("seed"));
    stream = number("stream");
    code = options.get("code");
    asIs = options.containsKey("as_is");
  }

  private int number(String name) {
    return Integer.parseInt(options.get(name));
  }

  public static void main(String[] args) throws Exception {
    OutputStream frames = new BufferedOutputStream(new FileOutputStream(FileDescriptor.out), 1 << 20);
    System.setOut(new PrintStream(new FileOutputStream(FileDescriptor.err), true, StandardCharsets.UTF_8));
    endWithParent();
    Map<String, String> options = new HashMap<>();
    for (String arg : args) {
      int cut = arg.indexOf('=');
      String name = arg.substring(0, cut);
      String value = arg.substring(cut + 1);
      if (name.startsWith("set:")) {
        Config.set(name.substring(4), value);
      } else {
        options.put(name, value);
      }
    }
    try {
      int status = new Simulate(options, generator(options), frames).run(Integer.parseInt(options.get("threads")));
      frames.flush();
      Runtime.getRuntime().halt(status);
    } catch (Throwable error) {
      error.printStackTrace();
      Runtime.getRuntime().halt(1); // the writer may wait for frames that will not come
    }
  }

  private static void endWithParent() {
    Thread watch = new Thread(() -> {
      try {
        while (System.in.read() >= 0) {
          continue;
        }
      } catch (IOException gone) {
        // the same as the end of input
      }
      Runtime.getRuntime().halt(3);
    });
    watch.setDaemon(true);
    watch.start();
  }

  private static Generator generator(Map<String, String> given) {
    Generator.GeneratorOptions options = new Generator.GeneratorOptions();
    options.population = 1;
    options.seed = Long.parseLong(given.get("seed"));
    options.clinicianSeed = Long.parseLong(given.get("clinician_seed"));
    options.referenceTime = Long.parseLong(given.get("reference"));
    options.endTime = Long.parseLong(given.get("end"));
    options.state = given.get("state");
    options.city = given.get("city");
    options.gender = given.get("gender");
    if (given.containsKey("min_age") || given.containsKey("max_age")) {
      options.ageSpecified = true; // ages are then drawn evenly, and not as in the census
      options.minAge = Integer.parseInt(given.getOrDefault("min_age", "0"));
      options.maxAge = Integer.parseInt(given.getOrDefault("max_age", "110"));
    }
    options.threadPoolSize = 1;
    if (given.containsKey("modules")) {
      options.localModuleDir = new File(given.get("modules"));
    }
    return new Generator(options, new Exporter.ExporterRuntimeOptions());
  }

  private int run(int threads) throws InterruptedException, IOException {
    Thread writer = new Thread(this::write);
    writer.start();
    Thread[] workers = new Thread[threads];
    for (int i = 0; i < threads; i++) {
      workers[i] = new Thread(this::work);
      workers[i].start();
    }
    for (Thread worker : workers) {
      worker.join();
    }
    if (failure != null) {
      failure.printStackTrace();
      Runtime.getRuntime().halt(1); // the writer may wait for frames that will not come
    }
    if (enough() && !asIs) {
      frames.put(new Frame("shared", frontier, Shared.bundle(referred), ""));
    }
    frames.put(new Frame(enough() ? "end" : "exhausted", frontier));
    writer.join();
    return failure == null ? 0 : 1;
  }

  private void work() {
    try {
      for (int index = take(); index >= 0; index = take()) {
        deliver(index, simulate(index));
      }
    } catch (Throwable error) {
      synchronized (this) {
        failure = failure == null ? error : failure;
        notifyAll();
      }
    }
  }

  private synchronized int take() throws InterruptedException {
    while (failure == null && !enough() && next - frontier >= LEAD) {
      wait();
    }
    return failure != null || enough() || next >= attempts ? -1 : next++;
  }

  private boolean enough() {
    return controlsKept >= population && casesKept >= cases;
  }

  private Outcome simulate(int index) throws IOException {
    // odd multipliers with well-mixed bits keep the seeds of neighbouring indexes, streams and seeds apart
    long own = seed * 0x9E3779B97F4A7C15L + (index + 1) * 0xBF58476D1CE4E5B9L + stream * 0x94D049BB133111EBL;
    Map<String, Object> demographics = generator.randomDemographics(new DefaultRandomNumberGenerator(own));
    Person person = generator.createPerson(own, demographics);
    generator.updatePerson(person);
    if (!person.alive(generator.stop)) {
      return new Outcome("dead");
    }
    boolean affected = code != null && affected(person);
    synchronized (this) { // what is full stays full, so a Bundle that cannot be kept is not made
      if (affected ? casesKept >= cases : controlsKept >= population) {
        return new Outcome("surplus");
      }
    }
    Person shown = years > 0 ? Exporter.filterForExport(person, years, generator.stop) : person;
    // the generated composer needs a third of the time of HAPI's reflective one, which FhirR4.convertToFHIRJson takes
    Bundle bundle = FhirR4.convertToFHIR(shown, generator.stop);
    Mends mends = new Mends();
    if (!asIs) {
      mends.mend(bundle);
    }
    byte[] bytes = new JsonParser().composeBytes(bundle);
    return new Outcome(affected ? "case" : "control", bytes, mends.counts(), asIs ? Set.of() : Shared.references(bytes));
  }

  private boolean affected(Person person) {
    for (HealthRecord.Encounter encounter : person.record.encounters) {
      for (HealthRecord.Entry condition : encounter.conditions) {
        if (condition.stop == 0L || condition.stop > generator.stop) {
          for (HealthRecord.Code c : condition.codes) {
            if (c.code.equals(code)) {
              return true;
            }
          }
        }
      }
    }
    return false;
  }

  private synchronized void deliver(int index, Outcome outcome) throws InterruptedException {
    finished.put(index, outcome);
    while (!enough() && !finished.isEmpty() && finished.firstKey() == frontier) {
      frames.put(decided(frontier++, finished.pollFirstEntry().getValue()));
    }
    notifyAll();
  }

  private Frame decided(int index, Outcome outcome) {
    boolean isCase = outcome.kind.equals("case");
    boolean isControl = outcome.kind.equals("control");
    if (isCase ? casesKept >= cases : isControl && controlsKept >= population) {
      return new Frame("surplus", index);
    }
    casesKept += isCase ? 1 : 0;
    controlsKept += isControl ? 1 : 0;
    referred.addAll(outcome.references);
    return new Frame(outcome.kind, index, outcome.bundle, outcome.counts);
  }

  /** Writes frames until the last one, so that a reader who is busy does not hold up the simulation. */
  private void write() {
    try {
      boolean last = false;
      while (!last) {
        Frame frame = frames.take();
        String header = frame.kind + " " + frame.index + " " + frame.bundle.length + frame.counts + "\n";
        out.write(header.getBytes(StandardCharsets.US_ASCII));
        out.write(frame.bundle);
        out.flush();
        last = frame.kind.equals("end") || frame.kind.equals("exhausted");
      }
    } catch (IOException | InterruptedException error) {
      System.err.println("the reader is gone: " + error);
      Runtime.getRuntime().halt(1);
    }
  }

  /** Corrects what a server or a validator would refuse, and counts it. */
  private static final class Mends {
    private static final String UCUM = "http://unitsofmeasure.org";
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
        if (entry.getResource() instanceof Observation observation) {
          mend(observation);
        }
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

  /** The organisations, locations and practitioners that patients refer to; Synthea's own code makes the resources. */
  private static final class Shared extends FhirR4 {
    private static final String MARK = "?identifier=";
    private static final String URN = "urn:uuid:";
    private static final String NPI = "http://hl7.org/fhir/sid/us-npi";

    /** The conditional references in a composed Bundle. */
    static Set<String> references(byte[] bundle) {
      String text = new String(bundle, StandardCharsets.UTF_8);
      Set<String> found = new HashSet<>();
      for (int at = text.indexOf(MARK); at >= 0; at = text.indexOf(MARK, at + 1)) {
        int start = text.lastIndexOf('"', at) + 1;
        if (text.startsWith("\"reference\":", start - 13) || text.startsWith("\"reference\" :", start - 14)) {
          found.add(text.substring(start, text.indexOf('"', at)));
        }
      }
      return found;
    }

    /** A transaction that creates what is referred to, where the server does not have it; by type and id. */
    static byte[] bundle(Set<String> referred) throws IOException {
      Map<String, Resource> known = known();
      TreeMap<String, Bundle.BundleEntryComponent> entries = new TreeMap<>();
      for (String reference : referred) {
        Resource resource = known.get(reference);
        if (resource == null) {
          throw new IllegalStateException("a patient refers to " + reference + ", which Synthea does not know");
        }
        add(entries, reference, resource);
        if (resource instanceof Location location && location.hasManagingOrganization()) { // it refers to its organisation by identifier only
          String url = condition("Organization", location.getManagingOrganization().getIdentifier().getValue());
          add(entries, url, known.get(url));
          location.getManagingOrganization().setReference(URN + known.get(url).getIdElement().getIdPart());
        }
      }
      Bundle bundle = new Bundle();
      bundle.setType(Bundle.BundleType.TRANSACTION);
      entries.values().forEach(bundle::addEntry);
      return new JsonParser().composeBytes(bundle);
    }

    private static void add(Map<String, Bundle.BundleEntryComponent> entries, String reference, Resource resource) {
      Bundle.BundleEntryComponent entry = new Bundle.BundleEntryComponent();
      entry.setFullUrl(URN + resource.getIdElement().getIdPart()).setResource(resource);
      String condition = reference.substring(reference.indexOf('?') + 1);
      entry.getRequest().setMethod(Bundle.HTTPVerb.POST).setUrl(resource.fhirType()).setIfNoneExist(condition);
      entries.put(resource.fhirType() + " " + resource.getIdElement().getIdPart(), entry);
    }

    private static String condition(String type, String id) {
      return type + MARK + SYNTHEA_IDENTIFIER + "|" + id;
    }

    private static Map<String, Resource> known() {
      Map<String, Resource> known = new HashMap<>();
      Bundle homes = new Bundle();
      addPatientHomeLocation(homes); // one for all: where virtual visits are
      Location home = (Location) homes.getEntryFirstRep().getResource();
      known.put(condition("Location", home.getIdentifierFirstRep().getValue()), home);
      Stream<Provider> providers = Provider.getProviderList().stream();
      for (Provider provider : providers.sorted(Comparator.comparing(Provider::getResourceID)).toList()) {
        Bundle made = new Bundle(); // where Synthea's code puts the resource, and others that nobody refers to
        Resource organization = provider(made, provider).getResource();
        known.putIfAbsent(condition("Organization", provider.getResourceID()), organization);
        Location location = providerLocation(made, provider);
        location.setId(provider.getResourceLocationID());
        known.putIfAbsent(condition("Location", provider.getResourceLocationID()), location);
        for (String service : new TreeSet<>(provider.clinicianMap.keySet())) {
          List<Clinician> clinicians = provider.clinicianMap.get(service);
          for (Clinician clinician : clinicians) {
            String reference = "Practitioner" + MARK + NPI + "|" + clinician.npi;
            if (!known.containsKey(reference)) {
              known.put(reference, practitioner(made, clinician).getResource());
            }
          }
        }
      }
      return known;
    }
  }
}
