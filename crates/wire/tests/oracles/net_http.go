// Prints the requests that Go's net/http sees in each message, in the format of llhttp.js.
package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
)

func requests_in(message []byte) string {
	input := bufio.NewReader(bytes.NewReader(message))
	var requests []string
	for {
		// RFC 9112, section 2.2: a server should ignore an empty line here. Go does not.
		if end, _ := input.Peek(2); string(end) == "\r\n" {
			input.Discard(2)
		}
		request, err := http.ReadRequest(input)
		if err != nil {
			return strings.Join(append(requests, word(err)), ",")
		}
		body, err := io.ReadAll(request.Body)
		if err != nil {
			return strings.Join(append(requests, word(err)), ",")
		}
		target := hex.EncodeToString([]byte(request.RequestURI))
		line := fmt.Sprintf("%s %s %s", request.Method, target, hex.EncodeToString(body))
		requests = append(requests, line)
	}
}

func word(err error) string {
	if err == io.EOF {
		return "end"
	}
	return "refused"
}

func main() {
	input := bufio.NewReader(os.Stdin)
	output := bufio.NewWriter(os.Stdout)
	defer output.Flush()
	for {
		var length uint32
		if binary.Read(input, binary.BigEndian, &length) != nil {
			return
		}
		message := make([]byte, length)
		if _, err := io.ReadFull(input, message); err != nil {
			panic(err)
		}
		fmt.Fprintln(output, requests_in(message))
	}
}
