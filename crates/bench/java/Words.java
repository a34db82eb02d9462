// The subject "java" of overlapped-bench: the server that counts words, with a virtual thread for each
// connection. It prints its port. Executors.newVirtualThreadPerTaskExecutor is looked up by name, so
// that a compiler older than Java 21 is enough.

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.locks.ReentrantLock;

public final class Words {
    private static final Map<String, Long> WORDS = new HashMap<>();
    private static final ReentrantLock LOCK = new ReentrantLock();

    private static long count(String line) {
        LOCK.lock();
        try {
            return WORDS.merge(line, 1L, Long::sum);
        } finally {
            LOCK.unlock();
        }
    }

    private static void serve(Socket socket) {
        try (socket) {
            BufferedReader lines = new BufferedReader(
                new InputStreamReader(socket.getInputStream(), StandardCharsets.UTF_8));
            OutputStream answers = socket.getOutputStream();
            for (String line = lines.readLine(); line != null; line = lines.readLine()) {
                String answer = line + " " + count(line) + "\n";
                answers.write(answer.getBytes(StandardCharsets.UTF_8));
            }
        } catch (IOException closed) {
            // The client has closed.
        }
    }

    public static void main(String[] arguments) throws Exception {
        ExecutorService tasks = (ExecutorService)
            Executors.class.getMethod("newVirtualThreadPerTaskExecutor").invoke(null);
        try (ServerSocket listener = new ServerSocket(0, 4096, InetAddress.getLoopbackAddress())) {
            System.out.println(listener.getLocalPort());
            while (true) {
                Socket socket = listener.accept();
                tasks.execute(() -> serve(socket));
            }
        }
    }
}
