import java.io.BufferedReader;
import java.io.ByteArrayInputStream;
import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.net.MalformedURLException;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.Map;
import java.util.regex.Pattern;
import java.util.stream.Collectors;

/**
 * Runs {@link Service}, with the same arguments, in a class loader that spares the engine what takes a quarter of its time: it
 * reads the registry of 21,350 OIDs anew for every resource, to look up those that the resource names. Here it gets the lines of
 * these alone.
 */
public final class Validate extends URLClassLoader {
  private static final String REGISTRY = "oidregistry.csv";
  private static final String HEADER = "OID\n"; // the engine passes over the first line
  private static final Pattern OID = Pattern.compile("urn:oid:([0-9.]+)");
  private static final ThreadLocal<String> LINES = new ThreadLocal<>();

  private final Map<String, String> registry = new HashMap<>();

  private Validate(URL[] path) throws IOException {
    super(path, ClassLoader.getPlatformClassLoader());
    try (InputStream stream = super.getResourceAsStream(REGISTRY);
        BufferedReader lines = new BufferedReader(new InputStreamReader(stream, StandardCharsets.UTF_8))) {
      lines.lines().skip(1).forEach(line -> registry.put(line.substring(0, line.indexOf(',')).trim(), line));
    }
  }

  /** Has the engine know the OIDs that a resource names, while this thread checks it; {@code loader} is that of the engine. */
  public static void expectOids(ClassLoader loader, String resource) {
    Map<String, String> registry = ((Validate) loader).registry;
    LINES.set(
        OID.matcher(resource)
            .results()
            .map(named -> registry.get(named.group(1)))
            .filter(line -> line != null)
            .distinct()
            .collect(Collectors.joining("\n", HEADER, "\n")));
  }

  @Override
  protected Class<?> findClass(String name) throws ClassNotFoundException {
    return name.equals(Validate.class.getName()) ? Validate.class : super.findClass(name);
  }

  @Override
  public InputStream getResourceAsStream(String name) {
    String lines = LINES.get();
    return name.equals(REGISTRY) && lines != null
        ? new ByteArrayInputStream(lines.getBytes(StandardCharsets.UTF_8))
        : super.getResourceAsStream(name);
  }

  public static void main(String[] args) throws ReflectiveOperationException, IOException {
    Validate loader = new Validate(path());
    Thread.currentThread().setContextClassLoader(loader);
    loader.loadClass("Service").getMethod("main", String[].class).invoke(null, (Object) args);
  }

  private static URL[] path() throws MalformedURLException {
    String[] parts = System.getProperty("java.class.path").split(File.pathSeparator);
    URL[] path = new URL[parts.length];
    for (int i = 0; i < parts.length; i++) {
      path[i] = new File(parts[i]).toURI().toURL();
    }
    return path;
  }
}
