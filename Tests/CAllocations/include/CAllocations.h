#ifndef CALLOCATIONS_H
#define CALLOCATIONS_H

/// How often the calling thread has asked for memory. Linking this target into a program makes it count.
unsigned long allocation_count(void);

#endif
