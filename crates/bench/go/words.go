// The server that counts words, a goroutine for each connection.
//
//	main words   prints its port and serves
package main

import (
	"bufio"
	"fmt"
	"net"
	"sync"
)

func serveWords() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	words := make(map[string]uint64)
	var lock sync.Mutex
	for {
		stream, err := listener.Accept()
		if err != nil {
			panic(err)
		}
		go func() {
			defer stream.Close()
			lines := bufio.NewScanner(bufio.NewReaderSize(stream, 8192))
			for lines.Scan() {
				line := lines.Text()
				lock.Lock()
				words[line]++
				count := words[line]
				lock.Unlock()
				if _, err := fmt.Fprintf(stream, "%s %d\n", line, count); err != nil {
					return
				}
			}
		}()
	}
}
