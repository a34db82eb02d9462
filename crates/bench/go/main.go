// The subject "go" of overlapped-bench: the same cases, as a Go programmer would write them.
//
//	main spawn_join N | yield TASKS ROUNDS | channel N   prints nanoseconds
//	main parked N                                        prints added RSS and page tables in KiB, mappings
//	main echo_unix PATH | echo_datagrams SOCKETS         prints where, and serves
//	main http FOLDER | tls FOLDER GREETING | length | line   prints its port and serves
//	main echo BUFFER                                     prints its port and serves
package main

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const yieldsAround = 2

func number(index int) int {
	n, err := strconv.Atoi(os.Args[index])
	if err != nil {
		panic(err)
	}
	return n
}

func main() {
	switch os.Args[1] {
	case "spawn_join":
		fmt.Println(spawnJoin(number(2)).Nanoseconds())
	case "yield":
		fmt.Println(yield(number(2), number(3)).Nanoseconds())
	case "channel":
		fmt.Println(channel(number(2)).Nanoseconds())
	case "parked":
		parked(number(2))
	case "echo":
		serve(number(2))
	case "echo_unix":
		serveUnix(os.Args[2])
	case "echo_datagrams":
		serveDatagrams(number(2))
	case "wake":
		fmt.Println(wake(number(2), number(3)).Nanoseconds())
	case "random_read":
		fmt.Println(randomRead(os.Args[2], number(3), number(4)).Nanoseconds())
	case "small_files":
		fmt.Println(smallFiles(os.Args[2], number(3), number(4)).Nanoseconds())
	case "copy_big":
		fmt.Println(copyBig(os.Args[2], os.Args[3]).Nanoseconds())
	case "copy_tree":
		fmt.Println(copyTree(os.Args[2], os.Args[3], number(4)).Nanoseconds())
	case "http":
		serveHTTP(os.Args[2])
	case "tls":
		serveTLS(os.Args[2], os.Args[3])
	case "length":
		serveFramed(answerLength)
	case "line":
		serveFramed(answerLine)
	case "words":
		serveWords()
	default:
		panic("unknown case")
	}
}

func spawnJoin(n int) time.Duration {
	done := make(chan struct{})
	start := time.Now()
	for i := 0; i < n; i++ {
		go func() { done <- struct{}{} }()
		<-done
	}
	return time.Since(start)
}

// yield times the yields, from the first task that begins to the last one that ends. The yields
// around them keep the start and the end of the tasks out of the time. The gate keeps the spawning
// out, which Go would mix with running.
func yield(tasks, rounds int) time.Duration {
	var begun time.Time
	var took time.Duration
	var beginners, enders, inTurn int64
	var all sync.WaitGroup
	gate := make(chan struct{})
	all.Add(tasks)
	for i := 0; i < tasks; i++ {
		go func() {
			<-gate
			for i := 0; i < yieldsAround; i++ {
				runtime.Gosched()
			}
			if atomic.AddInt64(&beginners, 1) == 1 {
				begun = time.Now()
			}
			for i := 0; i < rounds; i++ {
				runtime.Gosched()
			}
			ended := atomic.AddInt64(&enders, 1)
			if ended == 1 {
				inTurn = atomic.LoadInt64(&beginners)
			}
			if ended == int64(tasks) {
				took = time.Since(begun)
			}
			for i := 0; i < yieldsAround; i++ {
				runtime.Gosched()
			}
			all.Done()
		}()
	}
	close(gate)
	all.Wait()
	if inTurn < int64(tasks) {
		fmt.Fprintln(os.Stderr, "not in turn:", inTurn, "of", tasks, "had begun when the first ended")
		os.Exit(1)
	}
	return took
}

func channel(n int) time.Duration {
	there, back := make(chan int), make(chan int)
	go func() {
		for value := range there {
			back <- value + 1
		}
	}()
	took := make(chan time.Duration)
	go func() {
		start := time.Now()
		for value := 0; value < n; value++ {
			there <- value
			if <-back != value+1 {
				panic("wrong answer")
			}
		}
		took <- time.Since(start)
		close(there)
	}()
	return <-took
}

func field(text []byte, name string) int {
	for _, line := range strings.Split(string(text), "\n") {
		if strings.HasPrefix(line, name) {
			n, _ := strconv.Atoi(strings.Fields(line)[1])
			return n
		}
	}
	return 0
}

func memory() (rss, pte, mappings int) {
	status, _ := os.ReadFile("/proc/self/status")
	maps, _ := os.ReadFile("/proc/self/maps")
	return field(status, "VmRSS:"), field(status, "VmPTE:"), bytes.Count(maps, []byte("\n"))
}

func parked(n int) {
	bell := make(chan struct{})
	var waiting int64
	rss, pte, _ := memory()
	for i := 0; i < n; i++ {
		go func() {
			atomic.AddInt64(&waiting, 1)
			<-bell
		}()
	}
	for atomic.LoadInt64(&waiting) < int64(n) {
		runtime.Gosched()
	}
	runtime.Gosched()
	rssNow, pteNow, mappings := memory()
	fmt.Println(rssNow-rss, pteNow-pte, mappings)
}

func serve(bufferBytes int) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	for {
		stream, err := listener.Accept()
		if err != nil {
			panic(err)
		}
		go echo(stream, bufferBytes) // Go sets TCP_NODELAY by itself.
	}
}

func echo(stream net.Conn, bufferBytes int) {
	defer stream.Close()
	buffer := make([]byte, bufferBytes)
	for {
		n, err := stream.Read(buffer)
		if err != nil {
			return
		}
		if _, err := stream.Write(buffer[:n]); err != nil {
			return
		}
	}
}
