import java.io.BufferedInputStream;
import java.io.BufferedOutputStream;
import java.io.ByteArrayInputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.EOFException;
import java.io.FileDescriptor;
import java.io.FileNotFoundException;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.lang.reflect.InvocationTargetException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.util.EnumSet;
import java.util.Map;
import java.util.Set;
import org.apache.hadoop.conf.ConfigRedactor;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.CreateFlag;
import org.apache.hadoop.fs.FileContext;
import org.apache.hadoop.fs.FileStatus;
import org.apache.hadoop.fs.FileSystem;
import org.apache.hadoop.fs.Options.CreateOpts;
import org.apache.hadoop.fs.Options.Rename;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.fs.RemoteIterator;

/**
 * Carries files between this machine and wherever Hadoop can read and write. Every text and every piece of data stands behind the
 * number of its bytes. Standard input brings a configuration as XML, then requests, each a number of texts:
 *
 * <ul>
 *   <li>list URL: the files at or below it, as pieces of size, time of change and name below it; none of folders;
 *   <li>get URL FILE COUNT: copies it to this machine, only its first bytes where COUNT is not empty;
 *   <li>put FILE URL SCRATCH: copies it from this machine, whole or not at all; it may lie at SCRATCH until it is whole;
 *   <li>sweep URL: removes what lies in this folder and is named .*.part.
 * </ul>
 *
 * Each is answered by pieces of data, -1, and a text, empty or with what went wrong. Ends when standard input ends.
 */
public final class Carry {
  /** Stores in which a file is there once it is whole, and never before. */
  private static final Set<String> WHOLE = Set.of("s3", "s3a", "s3n", "gs", "oss", "cosn", "obs");

  private static final int CHUNK = 1 << 16;
  private static final int SHORTEST_SECRET = 4;

  private final Configuration configuration = new Configuration();
  private final DataInputStream requests = new DataInputStream(new BufferedInputStream(System.in));
  private final DataOutputStream answers =
      new DataOutputStream(new BufferedOutputStream(new FileOutputStream(FileDescriptor.out), CHUNK));

  private Carry() {}

  public static void main(String[] arguments) throws IOException {
    System.setOut(System.err);
    if (System.getenv("SPARK_USER") != null && System.getProperty("HADOOP_USER_NAME") == null) {
      System.setProperty("HADOOP_USER_NAME", System.getenv("SPARK_USER"));
    }
    new Carry().serve();
  }

  private void serve() throws IOException {
    configuration.addResource(new ByteArrayInputStream(piece()), "spark");
    while (true) {
      String[] words;
      try {
        words = new String[requests.readInt()];
      } catch (EOFException end) {
        return;
      }
      for (int i = 0; i < words.length; i++) {
        words[i] = new String(piece(), StandardCharsets.UTF_8);
      }
      String problem = "";
      try {
        answer(words);
      } catch (IOException | RuntimeException | LinkageError error) {
        problem = said(error);
      }
      answers.writeInt(-1);
      give(problem.getBytes(StandardCharsets.UTF_8));
      answers.flush();
    }
  }

  private void answer(String[] words) throws IOException {
    switch (words[0]) {
      case "list" -> list(new Path(words[1]));
      case "get" -> get(new Path(words[1]), java.nio.file.Path.of(words[2]), words[3]);
      case "put" -> put(java.nio.file.Path.of(words[1]), new Path(words[2]), new Path(words[3]));
      case "sweep" -> sweep(new Path(words[1]));
      default -> throw new IllegalArgumentException(words[0]);
    }
  }

  private void list(Path root) throws IOException {
    FileSystem files = root.getFileSystem(configuration);
    FileStatus itself = files.getFileStatus(root);
    if (itself.isFile()) {
      give(itself, "");
      return;
    }
    String above = files.makeQualified(root).toUri().getPath();
    int start = above.endsWith("/") ? above.length() : above.length() + 1;
    RemoteIterator<? extends FileStatus> found = files.listFiles(root, true);
    while (found.hasNext()) {
      FileStatus file = found.next();
      give(file, file.getPath().toUri().getPath().substring(start));
    }
  }

  private void get(Path source, java.nio.file.Path local, String count) throws IOException {
    long left = count.isEmpty() ? Long.MAX_VALUE : Long.parseLong(count);
    byte[] chunk = new byte[CHUNK];
    try (InputStream stream = source.getFileSystem(configuration).open(source);
        OutputStream copy = Files.newOutputStream(local)) {
      for (int read = 0; left > 0 && read >= 0; left -= read) {
        read = stream.read(chunk, 0, (int) Math.min(left, CHUNK));
        copy.write(chunk, 0, Math.max(read, 0));
      }
    }
  }

  private void put(java.nio.file.Path local, Path target, Path scratch) throws IOException {
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
    if (!files.util().exists(target.getParent())) { // who may write into a folder may not always make it
      files.mkdir(target.getParent(), FileContext.DIR_DEFAULT_PERM, true);
    }
    files.rename(scratch, target, Rename.OVERWRITE);
  }

  private void sweep(Path folder) throws IOException {
    FileSystem files = folder.getFileSystem(configuration);
    FileStatus[] found;
    try {
      found = files.listStatus(folder, path -> path.getName().startsWith(".") && path.getName().endsWith(".part"));
    } catch (FileNotFoundException nothing) {
      return;
    }
    for (FileStatus left : found) {
      files.delete(left.getPath(), true);
    }
  }

  private byte[] piece() throws IOException {
    return requests.readNBytes(requests.readInt());
  }

  private void give(byte[] piece) throws IOException {
    answers.writeInt(piece.length);
    answers.write(piece);
  }

  private void give(FileStatus file, String name) throws IOException {
    byte[] text = name.getBytes(StandardCharsets.UTF_8);
    give(ByteBuffer.allocate(16 + text.length).putLong(file.getLen()).putLong(file.getModificationTime()).put(text).array());
  }

  /** In one line, without any secret of the configuration. */
  private String said(Throwable error) {
    Throwable cause = error;
    while ((cause instanceof RuntimeException || cause instanceof InvocationTargetException) && cause.getCause() != null) {
      cause = cause.getCause();
    }
    String text = cause.getClass().getSimpleName() + ": " + cause.getMessage();
    ConfigRedactor redactor = new ConfigRedactor(configuration);
    for (Map.Entry<String, String> entry : configuration) {
      String value = entry.getValue();
      if (value.length() >= SHORTEST_SECRET && text.contains(value) && !value.equals(redactor.redact(entry.getKey(), value))) {
        text = text.replace(value, "…");
      }
    }
    return text.lines().findFirst().orElse("failed");
  }
}
