// Values between goroutines on two processors.
//
//	main wake IN_FLIGHT N   prints nanoseconds
package main

import "time"

func wake(inFlight, n int) time.Duration {
	there, back := make(chan int, inFlight), make(chan int, inFlight)
	go func() {
		for value := range there {
			back <- value + 1
		}
	}()
	start := time.Now()
	sent := 0
	for ; sent < inFlight && sent < n; sent++ {
		there <- sent
	}
	for value := 0; value < n; value++ {
		if <-back != value+1 {
			panic("another answer")
		}
		if sent < n {
			there <- sent
			sent++
		}
	}
	took := time.Since(start)
	close(there)
	return took
}
