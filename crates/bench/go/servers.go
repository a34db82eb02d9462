package main

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
)

func listen() net.Listener {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	return listener
}

func serveHTTP(folder string) {
	panic(http.Serve(listen(), http.FileServer(http.Dir(folder))))
}

func serveTLS(folder, greeting string) {
	body := []byte(greeting)
	server := http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			w.Write(body)
		}),
		TLSConfig: &tls.Config{MinVersion: tls.VersionTLS13},
		// Without reports of clients that hang up.
		ErrorLog: log.New(io.Discard, "", 0),
		// HTTP/1.1, as all other subjects.
		TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){},
	}
	certificate := filepath.Join(folder, "certificate.pem")
	panic(server.ServeTLS(listen(), certificate, filepath.Join(folder, "key.pem")))
}

// serveFramed answers everything that is buffered before it flushes.
func serveFramed(answer func(*bufio.Reader, *bufio.Writer) error) {
	listener := listen()
	for {
		stream, err := listener.Accept()
		if err != nil {
			panic(err)
		}
		go func() {
			defer stream.Close()
			reader, writer := bufio.NewReader(stream), bufio.NewWriter(stream)
			for answer(reader, writer) == nil {
				if reader.Buffered() == 0 && writer.Flush() != nil {
					return
				}
			}
		}()
	}
}

func answerLine(reader *bufio.Reader, writer *bufio.Writer) error {
	line, err := reader.ReadSlice('\n')
	if err != nil {
		return err
	}
	_, err = writer.Write(line)
	return err
}

func answerLength(reader *bufio.Reader, writer *bufio.Writer) error {
	digits, err := reader.ReadSlice('\n')
	if err != nil {
		return err
	}
	length, err := strconv.Atoi(string(digits[:len(digits)-1]))
	if err != nil || length < 0 || length > 1<<20 {
		return io.ErrUnexpectedEOF
	}
	if length <= reader.Size() {
		// A message that fits into the buffer is answered without a copy.
		body, err := reader.Peek(length)
		if err != nil {
			return err
		}
		if _, err := writer.Write(body); err != nil {
			return err
		}
		_, err = reader.Discard(length)
		return err
	}
	_, err = io.CopyN(writer, reader, int64(length))
	return err
}
