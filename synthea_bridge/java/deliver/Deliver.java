import java.io.BufferedInputStream;
import java.io.ByteArrayInputStream;
import java.io.DataInputStream;
import java.io.EOFException;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.util.EnumSet;
import java.util.Set;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.CreateFlag;
import org.apache.hadoop.fs.FileContext;
import org.apache.hadoop.fs.FileSystem;
import org.apache.hadoop.fs.Options.CreateOpts;
import org.apache.hadoop.fs.Options.Rename;
import org.apache.hadoop.fs.Path;

/**
 * Puts files of this machine where Hadoop can write to, each whole or not at all. Standard input brings a configuration as XML
 * (its bytes behind their number), then requests of three texts: the local file, where it is to be, and where it may lie until it is
 * whole. Each is answered by a line, empty or with what went wrong. Ends when standard input ends.
 */
public final class Deliver {
  /** Stores in which a file is there once it is whole, and never before. */
  private static final Set<String> WHOLE = Set.of("s3", "s3a", "s3n", "gs", "oss", "cosn", "obs");

  private Deliver() {}

  public static void main(String[] arguments) throws IOException {
    PrintStream answers = new PrintStream(new FileOutputStream(FileDescriptor.out), true, StandardCharsets.UTF_8);
    System.setOut(System.err);
    if (System.getenv("SPARK_USER") != null && System.getProperty("HADOOP_USER_NAME") == null) {
      System.setProperty("HADOOP_USER_NAME", System.getenv("SPARK_USER"));
    }
    DataInputStream requests = new DataInputStream(new BufferedInputStream(System.in));
    Configuration configuration = new Configuration();
    configuration.addResource(new ByteArrayInputStream(requests.readNBytes(requests.readInt())), "spark");
    while (true) {
      String local;
      try {
        local = requests.readUTF();
      } catch (EOFException end) {
        return;
      }
      Path target = new Path(requests.readUTF());
      Path scratch = new Path(requests.readUTF());
      try {
        put(java.nio.file.Path.of(local), target, scratch, configuration);
        answers.println();
      } catch (IOException | RuntimeException error) {
        answers.println((error.getClass().getSimpleName() + ": " + error.getMessage()).lines().findFirst().orElse("failed"));
      }
    }
  }

  private static void put(java.nio.file.Path local, Path target, Path scratch, Configuration configuration) throws IOException {
    if (WHOLE.contains(target.toUri().getScheme())) {
      try (OutputStream stream = FileSystem.get(target.toUri(), configuration).create(target, true)) {
        Files.copy(local, stream);
      }
      return;
    }
    FileContext files = FileContext.getFileContext(target.toUri(), configuration);
    EnumSet<CreateFlag> anew = EnumSet.of(CreateFlag.CREATE, CreateFlag.OVERWRITE);
    try (OutputStream stream = files.create(scratch, anew, CreateOpts.createParent())) {
      Files.copy(local, stream);
    }
    files.mkdir(target.getParent(), FileContext.DIR_DEFAULT_PERM, true);
    files.rename(scratch, target, Rename.OVERWRITE);
  }
}
