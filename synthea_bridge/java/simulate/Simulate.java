import java.io.BufferedOutputStream;
import java.io.BufferedReader;
import java.io.File;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.stream.Stream;
import org.hl7.fhir.r4.model.Bundle;
import org.mitre.synthea.engine.Generator;
import org.mitre.synthea.engine.Module;
import org.mitre.synthea.export.Exporter;
import org.mitre.synthea.export.FhirR4;
import org.mitre.synthea.helpers.Config;
import org.mitre.synthea.helpers.DefaultRandomNumberGenerator;
import org.mitre.synthea.helpers.Utilities;
import org.mitre.synthea.world.agents.Person;
import org.mitre.synthea.world.concepts.HealthRecord;

/**
 * Simulates people and streams what became of them to standard output as frames, in the order of their index. Each line of standard
 * input asks for some: start=INDEX, until=INDEX, population=N, cases=N, between tabs, and perhaps references=FILE, a line for each
 * reference in Bundles that were kept before; nothing of one request is left to the next. Living ones who are
 * wanted: "case INDEX BYTES units=N absent=N" (who has the condition) or "control INDEX BYTES units=N absent=N", each followed by
 * that many bytes of a FHIR Bundle, and with the number of its units and absent values that were mended. Others, with 0 bytes:
 * "affected" and "unaffected" (living, with the condition or without), "lost" (dead, after having had it), "dead". At the end
 * "end INDEX 0", or "exhausted INDEX 0" when those before until were not enough. Before it stands "shared INDEX BYTES" with a
 * Bundle of the organisations, locations and practitioners that the Bundles refer to, unless as_is=1 is given, which also leaves
 * the Bundles as Synthea makes them. With survey=1 no Bundles are made: "control INDEX BYTES" brings a line, see {@link Survey}.
 * The condition is given as codes=A+B|C: A and B, or C. Person INDEX depends on seed, stream and INDEX only. Ends when standard
 * input ends, so that it never outlives its parent.
 */
public final class Simulate {
  private record Outcome(String kind, byte[] bundle, String counts, Set<String> references) {
    Outcome(String kind) {
      this(kind, new byte[0], "", Set.of());
    }
  }

  private record Frame(String kind, long index, byte[] bundle, String counts) {
    Frame(String kind, long index) {
      this(kind, index, new byte[0], "");
    }
  }

  private static final int LEAD = 64; // indexes that may be finished ahead of the oldest unfinished one
  private static final int WAITING = 32; // frames that may wait for the reader before the simulation does

  private static final BlockingQueue<Map<String, String>> requests = new LinkedBlockingQueue<>();

  private final Map<String, String> options;
  private final Generator generator;
  private final OutputStream out;
  private final TreeMap<Long, Outcome> finished = new TreeMap<>();
  private final BlockingQueue<Frame> frames = new ArrayBlockingQueue<>(WAITING);
  private final int population;
  private final int cases;
  private final long until;
  private final long seed;
  private final long stream;
  private final int years;
  private final List<List<String>> codes; // any of these, each of which is all of its codes
  private final boolean survey;
  private final boolean asIs;
  private final Set<String> referred = new TreeSet<>(); // conditional references in the Bundles that were kept
  private long next; // the index that is simulated next
  private long frontier; // the index that is written next
  private int controlsKept = 0;
  private int casesKept = 0;
  private Throwable failure = null;

  private Simulate(Map<String, String> options, Generator generator, OutputStream out) throws IOException {
    this.options = options;
    this.generator = generator;
    this.out = out;
    population = number("population");
    cases = number("cases");
    until = Long.parseLong(options.get("until"));
    years = number("years");
    seed = Long.parseLong(options.get("seed"));
    stream = number("stream");
    codes =
        Stream.of(options.getOrDefault("codes", "").split("\\|"))
            .filter(group -> !group.isEmpty())
            .map(group -> List.of(group.split("\\+")))
            .toList();
    survey = options.containsKey("survey");
    next = frontier = Long.parseLong(options.get("start"));
    if (options.containsKey("references")) { // those of the Bundles that were kept before
      Files.readAllLines(Path.of(options.get("references"))).forEach(referred::add);
    }
    asIs = options.containsKey("as_is");
  }

  private int number(String name) {
    return Integer.parseInt(options.get(name));
  }

  public static void main(String[] args) throws Exception {
    OutputStream frames = new BufferedOutputStream(new FileOutputStream(FileDescriptor.out), 1 << 20);
    System.setOut(new PrintStream(new FileOutputStream(FileDescriptor.err), true, StandardCharsets.UTF_8));
    listen();
    Map<String, String> options = pairs(Stream.of(args));
    options.forEach((name, value) -> {
      if (name.startsWith("set:")) {
        Config.set(name.substring(4), value);
      }
    });
    try {
      Generator generator = generator(options);
      while (true) {
        Map<String, String> all = new HashMap<>(options);
        all.putAll(requests.take());
        new Simulate(all, generator, frames).run(Integer.parseInt(options.get("threads")));
      }
    } catch (Throwable error) {
      error.printStackTrace();
      Runtime.getRuntime().halt(1); // the writer may wait for frames that will not come
    }
  }

  private static Map<String, String> pairs(Stream<String> texts) {
    Map<String, String> found = new HashMap<>();
    texts.forEach(text -> found.put(text.substring(0, text.indexOf('=')), text.substring(text.indexOf('=') + 1)));
    return found;
  }

  /** Takes requests, and ends this process when there are no more: either all is done, or its parent is gone. */
  private static void listen() {
    Thread listener = new Thread(() -> {
      try (BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8))) {
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
          requests.add(pairs(Stream.of(line.split("\t"))));
        }
      } catch (IOException gone) {
        // the same as the end of input
      }
      Runtime.getRuntime().halt(3);
    });
    listener.setDaemon(true);
    listener.start();
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
    TimedTable.install();
    helpLoading();
    return new Life(options);
  }

  /**
   * Loads Synthea's later modules while the generator loads its earlier ones: they are two thirds of its start. Modules with
   * lookup tables are left to it, because these tables go into a map that is not made for two threads.
   */
  private static void helpLoading() {
    Thread helper = new Thread(() -> {
      try {
        Module.getModules(path -> path.compareTo("k") > 0 && !usesLookupTables(path));
      } catch (RuntimeException error) {
        // the generator comes across it too
      }
    });
    helper.setDaemon(true);
    helper.start();
  }

  private static boolean usesLookupTables(String path) {
    try {
      return Utilities.readResource("modules/" + path + ".json").contains("lookup_table_transition");
    } catch (IOException | RuntimeException error) {
      return true; // a module that is not among Synthea's own
    }
  }

  private void run(int threads) throws InterruptedException, IOException {
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
    if (!asIs && !survey) {
      frames.put(new Frame("shared", frontier, Shared.bundle(referred), ""));
    }
    frames.put(new Frame(enough() ? "end" : "exhausted", frontier));
    writer.join();
  }

  private void work() {
    try {
      for (long index = take(); index >= 0; index = take()) {
        deliver(index, simulate(index));
      }
    } catch (Throwable error) {
      synchronized (this) {
        failure = failure == null ? error : failure;
        notifyAll();
      }
    }
  }

  private synchronized long take() throws InterruptedException {
    while (failure == null && !enough() && next - frontier >= LEAD) {
      wait();
    }
    return failure != null || enough() || next >= until ? -1 : next++;
  }

  private boolean enough() {
    return controlsKept >= population && casesKept >= cases;
  }

  private Outcome simulate(long index) throws IOException {
    // odd multipliers with well-mixed bits keep the seeds of neighbouring indexes, streams and seeds apart
    long own = seed * 0x9E3779B97F4A7C15L + (index + 1) * 0xBF58476D1CE4E5B9L + stream * 0x94D049BB133111EBL;
    Map<String, Object> demographics = generator.randomDemographics(new DefaultRandomNumberGenerator(own));
    Person person = generator.createPerson(own, demographics);
    generator.updatePerson(person);
    if (!person.alive(generator.stop)) {
      return new Outcome(affected(person, false) ? "lost" : "dead");
    }
    boolean affected = affected(person, true);
    synchronized (this) { // what is full stays full, so a Bundle that cannot be kept is not made
      if (affected ? casesKept >= cases : controlsKept >= population) {
        return new Outcome(affected ? "affected" : "unaffected");
      }
    }
    if (survey) {
      return new Outcome("control", Survey.line(person, generator.stop).getBytes(StandardCharsets.UTF_8), "", Set.of());
    }
    Person shown = years > 0 ? Exporter.filterForExport(person, years, generator.stop) : person;
    // FhirR4.convertToFHIRJson takes HAPI's reflective composer, which needs several times as long
    Bundle bundle = FhirR4.convertToFHIR(shown, generator.stop);
    Mends mends = new Mends();
    if (!asIs) {
      mends.mend(bundle);
    }
    String text = Composer.compose(bundle);
    Set<String> references = asIs ? Set.of() : Shared.references(text);
    return new Outcome(affected ? "case" : "control", text.getBytes(StandardCharsets.UTF_8), mends.counts(), references);
  }

  private boolean affected(Person person, boolean still) {
    for (List<String> group : codes) {
      Set<String> missing = new HashSet<>(group);
      for (HealthRecord.Encounter encounter : person.record.encounters) {
        for (HealthRecord.Entry condition : encounter.conditions) {
          if (!still || condition.stop == 0L || condition.stop > generator.stop) {
            condition.codes.forEach(code -> missing.remove(code.code));
          }
        }
      }
      if (missing.isEmpty()) {
        return true;
      }
    }
    return false;
  }

  private synchronized void deliver(long index, Outcome outcome) throws InterruptedException {
    finished.put(index, outcome);
    while (!enough() && !finished.isEmpty() && finished.firstKey() == frontier) {
      frames.put(decided(frontier++, finished.pollFirstEntry().getValue()));
    }
    notifyAll();
  }

  private Frame decided(long index, Outcome outcome) {
    boolean isCase = outcome.kind.equals("case");
    boolean isControl = outcome.kind.equals("control");
    if (isCase ? casesKept >= cases : isControl && controlsKept >= population) {
      return new Frame(isCase ? "affected" : "unaffected", index);
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
}
