import ca.uhn.fhir.context.FhirContext;
import ca.uhn.fhir.context.support.DefaultProfileValidationSupport;
import ca.uhn.fhir.context.support.IValidationSupport;
import ca.uhn.fhir.validation.FhirValidator;
import ca.uhn.fhir.validation.SingleValidationMessage;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.stream.Stream;
import org.hl7.fhir.common.hapi.validation.support.CommonCodeSystemsTerminologyService;
import org.hl7.fhir.common.hapi.validation.support.InMemoryTerminologyServerValidationSupport;
import org.hl7.fhir.common.hapi.validation.support.PrePopulatedValidationSupport;
import org.hl7.fhir.common.hapi.validation.support.SnapshotGeneratingValidationSupport;
import org.hl7.fhir.common.hapi.validation.support.UnknownCodeSystemWarningValidationSupport;
import org.hl7.fhir.common.hapi.validation.support.ValidationSupportChain;
import org.hl7.fhir.common.hapi.validation.validator.FhirInstanceValidator;
import org.hl7.fhir.instance.model.api.IBaseResource;
import org.hl7.fhir.r5.utils.validation.constants.BestPracticeWarningLevel;
import org.hl7.fhir.utilities.npm.NpmPackage;

/**
 * The HL7 validator engine for FHIR R4. Arguments: the number of threads, then packages (.tgz) and folders with definitions. Each
 * line of standard input is {"id": …, "resource": {…}}, the resource last; each line of standard output
 * {"id": …, "messages": [{"severity", "code", "location", "message"}]}, in the order in which they are done. A first line
 * {"ready": [n, …]} says how many definitions came from each argument, or {"unusable": "why"}. Ends when standard input ends, so
 * that it never outlives its parent.
 */
public final class Service {
  private static final ObjectMapper JSON = new ObjectMapper();

  private final PrintStream out;
  private final FhirValidator validator;

  private Service(PrintStream out, FhirValidator validator) {
    this.out = out;
    this.validator = validator;
  }

  public static void main(String[] args) throws Exception {
    PrintStream out = new PrintStream(new FileOutputStream(FileDescriptor.out), false, StandardCharsets.UTF_8);
    System.setOut(System.err); // libraries print to it
    FhirContext context = FhirContext.forR4();
    PrePopulatedValidationSupport given = new PrePopulatedValidationSupport(context);
    ObjectNode first = JSON.createObjectNode();
    ArrayNode loaded = first.putArray("ready");
    for (String path : List.of(args).subList(1, args.length)) {
      try {
        loaded.add(load(Path.of(path), context, given));
      } catch (IOException | RuntimeException error) {
        first.put("unusable", path + ": " + error.getMessage());
        break;
      }
    }
    Service service = new Service(out, validator(context, given));
    service.say(first);
    service.serve(Integer.parseInt(args[0]));
  }

  private static FhirValidator validator(FhirContext context, PrePopulatedValidationSupport given) {
    UnknownCodeSystemWarningValidationSupport unknown = new UnknownCodeSystemWarningValidationSupport(context);
    unknown.setNonExistentCodeSystemSeverity(IValidationSupport.IssueSeverity.WARNING);
    ValidationSupportChain chain =
        new ValidationSupportChain(
            new DefaultProfileValidationSupport(context),
            given,
            new InMemoryTerminologyServerValidationSupport(context),
            new CommonCodeSystemsTerminologyService(context),
            new SnapshotGeneratingValidationSupport(context),
            unknown);
    FhirInstanceValidator instance = new FhirInstanceValidator(chain);
    instance.setAnyExtensionsAllowed(true);
    instance.setErrorForUnknownProfiles(true);
    instance.setBestPracticeWarningLevel(BestPracticeWarningLevel.Ignore);
    FhirValidator validator = context.newValidator();
    validator.registerValidatorModule(instance);
    return validator;
  }

  private static int load(Path path, FhirContext context, PrePopulatedValidationSupport given) throws IOException {
    if (Files.isDirectory(path)) {
      int loaded = 0;
      try (Stream<Path> files = Files.list(path)) {
        for (Path file : files.filter(one -> one.toString().endsWith(".json")).sorted().toList()) {
          loaded += add(Files.readString(file), context, given);
        }
      }
      return loaded;
    }
    int loaded = 0;
    try (InputStream stream = Files.newInputStream(path)) {
      NpmPackage.NpmPackageFolder folder = NpmPackage.fromPackage(stream).getFolders().get("package");
      for (String name : folder.listFiles()) {
        if (name.endsWith(".json") && !name.equals("package.json") && !name.startsWith(".")) {
          loaded += add(new String(folder.fetchFile(name), StandardCharsets.UTF_8), context, given);
        }
      }
    }
    return loaded;
  }

  private static int add(String text, FhirContext context, PrePopulatedValidationSupport given) {
    if (!text.contains("\"StructureDefinition\"") && !text.contains("\"ValueSet\"") && !text.contains("\"CodeSystem\"")) {
      return 0;
    }
    IBaseResource resource = context.newJsonParser().parseResource(text);
    switch (resource.fhirType()) {
      case "StructureDefinition", "ValueSet", "CodeSystem" -> given.addResource(resource);
      default -> {
        return 0;
      }
    }
    return 1;
  }

  private void serve(int threads) throws IOException {
    ExecutorService pool = Executors.newFixedThreadPool(threads); // the parent keeps few requests under way
    BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8), 1 << 20);
    for (String line = lines.readLine(); line != null; line = lines.readLine()) {
      String request = line;
      pool.execute(() -> answer(request));
    }
    Runtime.getRuntime().halt(0); // nobody reads the answers any more
  }

  private void answer(String line) {
    ObjectNode answer = JSON.createObjectNode();
    try {
      String resource = resource(line, answer);
      ArrayNode messages = answer.putArray("messages");
      Validate.expectOids(Service.class.getClassLoader(), resource);
      for (SingleValidationMessage one : validator.validateWithResult(resource).getMessages()) {
        ObjectNode message = messages.addObject();
        message.put("severity", one.getSeverity() == null ? "error" : one.getSeverity().getCode());
        message.put("code", one.getMessageId());
        message.put("location", one.getLocationString());
        message.put("message", one.getMessage());
      }
    } catch (IOException | RuntimeException error) {
      answer.put("failed", String.valueOf(error));
    }
    say(answer);
  }

  /** Copies the id and returns the text of the resource, which the validator parses by itself. */
  private static String resource(String line, ObjectNode answer) throws IOException {
    try (JsonParser request = JSON.createParser(line)) {
      request.nextToken();
      while (request.nextToken() == JsonToken.FIELD_NAME) {
        String name = request.currentName();
        request.nextToken();
        if (name.equals("resource")) {
          return line.substring((int) request.currentTokenLocation().getCharOffset(), line.lastIndexOf('}'));
        }
        answer.set(name, request.readValueAsTree());
      }
    }
    throw new IOException("a request without a resource");
  }

  private synchronized void say(ObjectNode line) {
    out.println(line);
    out.flush();
  }
}
